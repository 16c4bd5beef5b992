!> Pressure gradient of stacked layers over a resting abyss.
module dynhpg
   use par_kind, only: wp
   use par_oce, only: jpi, jpj, jpk, Nis0, Nie0, Njs0, Nje0
   use dom_oce, only: gred, r1_e1u, r1_e2v
   use oce, only: uu, vv, e3t
   implicit none
   private
   public :: dyn_hpg

   real(wp), allocatable :: zsum(:, :, :), zmon(:, :)   ! height of the interfaces above the abyss's; Montgomery potential

contains

   !> Begin the right-hand side with -grad M, with M(k) = sum over l >= k of g'(l) (h(1) + ... + h(l)).
   !!
   !! The thickness is (h(after) + 2 h(now) + h(before)) / 4: the gravity-wave limit on the time step
   !! doubles (Brown & Campana 1978).
   subroutine dyn_hpg(Kbb, Kmm, Kaa, Krhs)
      integer, intent(in) :: Kbb, Kmm, Kaa, Krhs   !< time levels
      integer :: jk
      if (.not. allocated(zsum)) allocate (zsum(jpi, jpj, 0:jpk), zmon(jpi, jpj))
      zsum(:, :, 0) = 0._wp
      zmon(:, :) = 0._wp
      do jk = 1, jpk
         call stack(e3t(:, :, jk, Kbb), e3t(:, :, jk, Kmm), e3t(:, :, jk, Kaa), zsum(:, :, jk - 1), zsum(:, :, jk))
      end do
      do jk = jpk, 1, -1
         call grad(gred(jk), zsum(:, :, jk), zmon, r1_e1u, r1_e2v, uu(:, :, jk, Krhs), vv(:, :, jk, Krhs))
      end do
   end subroutine dyn_hpg

   pure subroutine stack(pe3b, pe3n, pe3a, pabove, psum)
      real(wp), intent(in), dimension(jpi, jpj) :: pe3b, pe3n, pe3a, pabove
      real(wp), intent(inout), dimension(jpi, jpj) :: psum
      integer :: ji, jj
      do jj = Njs0, Nje0 + 1
         do ji = Nis0, Nie0 + 1
            psum(ji, jj) = pabove(ji, jj) + 0.25_wp*((pe3a(ji, jj) + pe3b(ji, jj)) + 2._wp*pe3n(ji, jj))
         end do
      end do
   end subroutine stack

   pure subroutine grad(pg, psum, pmon, pr1u, pr1v, pru, prv)
      real(wp), intent(in) :: pg
      real(wp), intent(in), dimension(jpi, jpj) :: psum, pr1u, pr1v
      real(wp), intent(inout), dimension(jpi, jpj) :: pmon, pru, prv
      integer :: ji, jj
      do jj = Njs0, Nje0 + 1
         do ji = Nis0, Nie0 + 1
            pmon(ji, jj) = pmon(ji, jj) + pg*psum(ji, jj)
         end do
      end do
      do jj = Njs0, Nje0
         do ji = Nis0, Nie0
            pru(ji, jj) = -(pmon(ji + 1, jj) - pmon(ji, jj))*pr1u(ji, jj)
            prv(ji, jj) = -(pmon(ji, jj + 1) - pmon(ji, jj))*pr1v(ji, jj)
         end do
      end do
   end subroutine grad
end module dynhpg
