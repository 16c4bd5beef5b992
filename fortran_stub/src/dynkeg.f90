!> Kinetic-energy gradient of the vector-invariant form.
module dynkeg
   use par_kind, only: wp
   use par_oce, only: jpi, jpj, jpk, Nis0, Nie0, Njs0, Nje0
   use dom_oce, only: r1_e1u, r1_e2v
   use oce, only: uu, vv
   implicit none
   private
   public :: dyn_keg

   real(wp), allocatable :: zhke(:, :)

contains

   !> Add -grad K, with K = (mean over i of u**2 + mean over j of v**2) / 2 at T points.
   subroutine dyn_keg(Kmm, Krhs)
      integer, intent(in) :: Kmm, Krhs   !< time levels
      integer :: jk
      if (.not. allocated(zhke)) allocate (zhke(jpi, jpj))
      do jk = 1, jpk
         call keg(uu(:, :, jk, Kmm), vv(:, :, jk, Kmm), r1_e1u, r1_e2v, zhke, uu(:, :, jk, Krhs), vv(:, :, jk, Krhs))
      end do
   end subroutine dyn_keg

   pure subroutine keg(pu, pv, pr1u, pr1v, pke, pru, prv)
      real(wp), intent(in), dimension(jpi, jpj) :: pu, pv, pr1u, pr1v
      real(wp), intent(inout), dimension(jpi, jpj) :: pke, pru, prv
      integer :: ji, jj
      do jj = Njs0, Nje0 + 1
         do ji = Nis0, Nie0 + 1
            pke(ji, jj) = 0.25_wp*((pu(ji - 1, jj)*pu(ji - 1, jj) + pu(ji, jj)*pu(ji, jj)) &
            &                    + (pv(ji, jj - 1)*pv(ji, jj - 1) + pv(ji, jj)*pv(ji, jj)))
         end do
      end do
      do jj = Njs0, Nje0
         do ji = Nis0, Nie0
            pru(ji, jj) = pru(ji, jj) - (pke(ji + 1, jj) - pke(ji, jj))*pr1u(ji, jj)
            prv(ji, jj) = prv(ji, jj) - (pke(ji, jj + 1) - pke(ji, jj))*pr1v(ji, jj)
         end do
      end do
   end subroutine keg
end module dynkeg
