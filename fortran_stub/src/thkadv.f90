!> Continuity: the thickness of the layers.
module thkadv
   use par_kind, only: wp
   use par_oce, only: jpi, jpj, jpk, Nis0, Nie0, Njs0, Nje0
   use dom_oce, only: rDt, r1_e1e2t
   use oce, only: e3t, uflx, vflx
   implicit none
   private
   public :: thk_adv, thk_div

contains

   !> h(after) = h(before) - rDt div(uflx, vflx): flux form, centred. On the interior and one cell round it.
   subroutine thk_adv(Kbb, Kaa, kj1, kj2)
      integer, intent(in) :: Kbb, Kaa             !< before and after levels
      integer, optional, intent(in) :: kj1, kj2   !< rows, at most 2 to jpj-1; absent: those
      integer :: jk, j1, j2
      j1 = 2
      j2 = jpj - 1
      if (present(kj1)) j1 = kj1
      if (present(kj2)) j2 = kj2
      do jk = 1, jpk
         call div(j1, j2, uflx(:, :, jk), vflx(:, :, jk), r1_e1e2t, e3t(:, :, jk, Kbb), rDt, e3t(:, :, jk, Kaa))
      end do
   end subroutine thk_adv

   !> Thickness tendency -div(uflx, vflx) [m s-1] of every layer.
   subroutine thk_div(ptend)
      real(wp), intent(inout) :: ptend(:, :, :)   !< (jpi, jpj, jpk); 0 outside the interior
      integer :: ji, jj, jk
      ptend(:, :, :) = 0._wp
      do jk = 1, jpk
         do jj = Njs0, Nje0
            do ji = Nis0, Nie0
               ptend(ji, jj, jk) = -r1_e1e2t(ji, jj)*((uflx(ji, jj, jk) - uflx(ji - 1, jj, jk)) &
               &                                     + (vflx(ji, jj, jk) - vflx(ji, jj - 1, jk)))
            end do
         end do
      end do
   end subroutine thk_div

   pure subroutine div(kj1, kj2, puf, pvf, pr1, pe3b, pdt, pe3a)
      integer, intent(in) :: kj1, kj2
      real(wp), intent(in), dimension(jpi, jpj) :: puf, pvf, pr1, pe3b
      real(wp), intent(in) :: pdt
      real(wp), intent(inout), dimension(jpi, jpj) :: pe3a
      integer :: ji, jj
      do jj = kj1, kj2
         do ji = 2, jpi - 1
            pe3a(ji, jj) = pe3b(ji, jj) - pdt*(pr1(ji, jj)*((puf(ji, jj) - puf(ji - 1, jj)) + (pvf(ji, jj) - pvf(ji, jj - 1))))
         end do
      end do
   end subroutine div
end module thkadv
